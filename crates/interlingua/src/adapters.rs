//! The adapters that this gateway is built with: one line each in [`FACTORIES`].

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use adapter_api::{Adapter, AdapterError, Context, InstanceName, UserChanges};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::config::{Key, Problem, nearest, read};

/// Everything that a table `[adapter.NAME]` may have as its `type`.
pub const FACTORIES: &[Factory] = &[
    factory::<adapter_sip::Config>("sip", "sip"),
    factory::<adapter_xmpp::server::Config>("xmpp", "xmpp"),
    factory::<adapter_xmpp::Config>("xmpp-component", "office"),
    factory::<adapter_native::Config>("native", "native"),
    factory::<adapter_external::Config>("external", "irc"),
    factory::<adapter_matrix::Config>("matrix", "matrix"),
];

/// How one type of adapter is configured and made.
#[derive(Debug)]
pub struct Factory {
    /// The value of `type`.
    pub type_name: &'static str,
    /// The instance name that the reference uses.
    pub example_name: &'static str,
    /// The schema of its table, without `type`.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    read: Read,
}

type Read = fn(&'static str, Value, &Key, &mut Findings<'_>) -> Option<Box<dyn Configured>>;

/// An adapter's configuration, ready to make the adapter.
pub trait Configured: Debug + Send + Sync {
    /// Everything that is wrong in it.
    fn problems(&self) -> Vec<adapter_api::Problem>;
    /// Makes the adapter.
    fn make(&self, instance: InstanceName, context: Context) -> Result<Made, AdapterError>;
    /// The value of `type`.
    fn type_name(&self) -> &'static str;
    /// The keys of the table that change without a restart.
    fn live_keys(&self) -> &'static [&'static str];
    /// The table, as its own crate reads it.
    fn table(&self) -> &dyn Any;
}

/// An adapter, and the way to change it while it runs.
pub struct Made {
    /// The adapter.
    pub adapter: Arc<dyn Adapter>,
    /// None where no key of its table changes without a restart.
    pub live: Option<Arc<dyn Live>>,
}

/// An adapter that takes over a part of a changed table while it runs.
pub trait Live: Send + Sync {
    /// Reads what a table says. Nothing changes before the result is called, which cannot fail and says what it did, if
    /// anything, and to which key.
    fn prepare(&self, table: &dyn Configured) -> Result<TakeOver, AdapterError>;
}

/// See [`Live::prepare`].
pub type TakeOver = Box<dyn FnOnce() -> Option<(&'static str, String)> + Send>;

impl Live for adapter_native::NativeAdapter {
    fn prepare(&self, table: &dyn Configured) -> Result<TakeOver, AdapterError> {
        let Some(config) = table.table().downcast_ref() else { return Ok(Box::new(|| None)) };
        let next = self.prepare_users(config)?;
        Ok(Box::new(move || users_taken_over(next.take_over())))
    }
}

impl Live for adapter_sip::SipAdapter {
    fn prepare(&self, table: &dyn Configured) -> Result<TakeOver, AdapterError> {
        let Some(config) = table.table().downcast_ref() else { return Ok(Box::new(|| None)) };
        let next = self.prepare_users(config)?;
        Ok(Box::new(move || users_taken_over(next.take_over())))
    }
}

fn users_taken_over(changes: UserChanges) -> Option<(&'static str, String)> {
    changes.any().then(|| (USERS, changes.to_string()))
}

/// The key of the users in the table of an adapter that has any.
const USERS: &str = "user";

/// What each adapter crate offers under the same names.
trait Crate: DeserializeOwned + JsonSchema + Clone + Debug + Send + Sync + 'static {
    const LIVE_KEYS: &[&str] = &[];
    fn problems(&self) -> Vec<adapter_api::Problem>;
    fn make(instance: InstanceName, config: Self, context: Context) -> Result<Made, AdapterError>;
}

macro_rules! crates {
    ($($($name:ident)::+),*) => {$(
        impl Crate for $($name)::+::Config {
            fn problems(&self) -> Vec<adapter_api::Problem> {
                self.problems()
            }
            fn make(instance: InstanceName, config: Self, context: Context) -> Result<Made, AdapterError> {
                Ok(Made { adapter: $($name)::+::new(instance, config, context)?, live: None })
            }
        }
    )*};
}
crates!(adapter_xmpp, adapter_xmpp::server, adapter_external, adapter_matrix);

macro_rules! crates_with_users {
    ($($name:ident),*) => {$(
        impl Crate for $name::Config {
            const LIVE_KEYS: &[&str] = &[USERS];

            fn problems(&self) -> Vec<adapter_api::Problem> {
                self.problems()
            }
            fn make(instance: InstanceName, config: Self, context: Context) -> Result<Made, AdapterError> {
                let adapter = $name::new(instance, config, context)?;
                Ok(Made { adapter: adapter.clone(), live: Some(adapter) })
            }
        }
    )*};
}
crates_with_users!(adapter_sip, adapter_native);

const fn factory<C: Crate>(type_name: &'static str, example_name: &'static str) -> Factory {
    Factory { type_name, example_name, schema: C::json_schema, read: read_one::<C> }
}

#[derive(Debug)]
struct Instance<C> {
    type_name: &'static str,
    config: C,
}

impl<C: Crate> Configured for Instance<C> {
    fn problems(&self) -> Vec<adapter_api::Problem> {
        self.config.problems()
    }

    fn make(&self, instance: InstanceName, context: Context) -> Result<Made, AdapterError> {
        C::make(instance, self.config.clone(), context)
    }

    fn live_keys(&self) -> &'static [&'static str] {
        C::LIVE_KEYS
    }

    fn table(&self) -> &dyn Any {
        &self.config
    }

    fn type_name(&self) -> &'static str {
        self.type_name
    }
}

/// Where problems are put while tables are read.
struct Findings<'f> {
    problems: &'f mut Vec<Problem>,
    holes: &'f mut Vec<Key>,
}

/// Reads the tables `[adapter.NAME]`, each by the factory of its `type`.
pub(crate) fn read_all(
    tables: &Map<String, Value>,
    problems: &mut Vec<Problem>,
    holes: &mut Vec<Key>,
) -> Vec<(String, Box<dyn Configured>)> {
    let mut findings = Findings { problems, holes };
    let mut configured = Vec::new();
    for (name, table) in tables {
        let key = Key::default().name("adapter").name(name);
        if let Some(one) = read_table(table, &key, &mut findings) {
            configured.push((name.clone(), one));
        }
    }
    configured
}

fn read_table(table: &Value, key: &Key, findings: &mut Findings<'_>) -> Option<Box<dyn Configured>> {
    let mut table = table.clone();
    let kind = table.as_object_mut().and_then(|table| table.shift_remove("type"));
    let factory = match &kind {
        Some(Value::String(kind)) => match FACTORIES.iter().find(|factory| factory.type_name == kind) {
            Some(factory) => factory,
            None => return refuse(findings, key, "no adapter of this type", &unknown_type(kind)),
        },
        Some(_) => return refuse(findings, key, "not text", &all_types()),
        None => return refuse(findings, key, "missing", &all_types()),
    };
    let configured = (factory.read)(factory.type_name, table, key, findings)?;
    for problem in configured.problems() {
        let mut found = Problem::new(key.join(&Key::parse(&problem.key)), problem.problem, problem.remedy);
        found.value = (!problem.value.is_empty() && !found.key.is_secret()).then_some(problem.value);
        findings.problems.push(found);
    }
    Some(configured)
}

fn read_one<C: Crate>(
    type_name: &'static str,
    table: Value,
    key: &Key,
    findings: &mut Findings<'_>,
) -> Option<Box<dyn Configured>> {
    let config: C = read(table, key, findings.problems, findings.holes)?;
    Some(Box::new(Instance { type_name, config }))
}

fn refuse(findings: &mut Findings<'_>, key: &Key, problem: &str, remedy: &str) -> Option<Box<dyn Configured>> {
    findings.problems.push(Problem::new(key.name("type"), problem, remedy));
    None
}

fn unknown_type(kind: &str) -> String {
    let known: Vec<_> = FACTORIES.iter().map(|factory| factory.type_name).collect();
    nearest(kind, &known).map_or_else(all_types, |name| format!("did you mean \"{name}\"?"))
}

fn all_types() -> String {
    let known: Vec<_> = FACTORIES.iter().map(|factory| format!("type = \"{}\"", factory.type_name)).collect();
    format!("write {}", known.join(" or "))
}
