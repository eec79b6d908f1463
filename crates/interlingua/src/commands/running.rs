//! `interlingua health`, `status`, `peers`, `trace`: a running gateway asked through its admin API.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::cli::Ended;
use crate::config::{self, AdminListen};
use crate::{output, show};

/// Say whether a running gateway is alive, or ready; for health checks, without a token
#[derive(Debug, clap::Args)]
pub struct HealthArgs {
    /// Ready, not only alive: listeners open, component links have been up, not stopping
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    admin: Admin,
}

/// Show what a running gateway is doing
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    admin: Admin,
}

/// Show which peers of a running gateway can be reached
#[derive(Debug, clap::Args)]
pub struct PeersArgs {
    #[command(flatten)]
    admin: Admin,
}

/// Show who watches whom
#[derive(Debug, clap::Args)]
pub struct SubscriptionsArgs {
    /// Only those with this address at one end
    #[arg(long, value_name = "ADDRESS")]
    of: Option<String>,
    /// How many to show, at most 1000
    #[arg(long, default_value_t = 100)]
    count: usize,
    #[command(flatten)]
    admin: Admin,
}

/// Show where one message went, and why
#[derive(Debug, clap::Args)]
pub struct TraceArgs {
    /// The trace, or the message's own id: Call-ID, stanza id, native id
    id: String,
    #[command(flatten)]
    admin: Admin,
}

/// List what waits to be tried again, or act on one entry of it
#[derive(Debug, clap::Args)]
pub struct QueueArgs {
    #[command(subcommand)]
    action: Option<QueueAction>,
    /// How many entries to show, at most 1000
    #[arg(long, default_value_t = 100)]
    count: usize,
    /// Show those behind the entry of this number
    #[arg(long, value_name = "ENTRY")]
    after: Option<String>,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, clap::Subcommand)]
enum QueueAction {
    /// Try an entry at once
    Retry(QueueEntry),
    /// Give an entry up: it ends as failed
    Delete(QueueEntry),
}

#[derive(Debug, clap::Args)]
struct QueueEntry {
    /// The entry's number, as `queue` lists it
    entry: String,
}

/// Have a running gateway read its configuration again; nothing changes if any of it is wrong
#[derive(Debug, clap::Args)]
pub struct ReloadArgs {
    #[command(flatten)]
    admin: Admin,
}

/// Where the admin API is.
#[derive(Debug, clap::Args)]
struct Admin {
    /// The admin API, as a URL or a socket file: unix:/run/interlingua/admin.sock
    #[arg(
        long = "admin",
        global = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:8080",
        env = "INTERLINGUA_ADMIN"
    )]
    url: reqwest::Url,
    /// A file with the admin token; INTERLINGUA_ADMIN_TOKEN holds the token itself
    #[arg(long, global = true, value_name = "FILE", value_parser = readable)]
    token_file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long, global = true)]
    json: bool,
    /// Whether a configuration file says where it is and what its token is, and no flag.
    #[arg(skip)]
    configured: bool,
}

/// Runs `health`.
pub fn health(args: &HealthArgs) -> Result<Ended> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (good, text) = runtime.block_on(args.admin.health(if args.ready { "readyz" } else { "healthz" }))?;
    if args.admin.json {
        output::json(&serde_json::json!({ "ok": good, "state": text }))?;
    } else {
        output::text(&text)?;
    }
    Ok(Ended::well_if(good))
}

/// A health check that takes longer than a supervisor waits is a failure.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs `status`.
pub fn status(args: &StatusArgs) -> Result<Ended> {
    args.admin.ask_and_show(Method::GET, "status", &[], &[], |answer| show::status(without_capabilities(answer)))
}

/// Runs `peers`.
pub fn peers(args: &PeersArgs) -> Result<Ended> {
    args.admin.show("peers", &[])
}

/// Runs `subscriptions`.
pub fn subscriptions(args: &SubscriptionsArgs) -> Result<Ended> {
    let count = ("count", args.count.to_string());
    args.admin.list("subscriptions", &[count, ("of", args.of.clone().unwrap_or_default())])
}

/// Runs `trace`.
pub fn trace(args: &TraceArgs) -> Result<Ended> {
    args.admin.ask_and_show(Method::GET, "trace", &[&args.id], &[], show::trace)
}

/// Runs `reload`.
pub fn reload(args: &ReloadArgs) -> Result<Ended> {
    args.admin.ask(Method::POST, "reload", &[], &[])
}

/// Runs `queue`.
pub fn queue(args: &QueueArgs) -> Result<Ended> {
    match &args.action {
        None => args
            .admin
            .list("queue", &[("count", args.count.to_string()), ("after", args.after.clone().unwrap_or_default())]),
        Some(QueueAction::Retry(of)) => args.admin.ask(Method::POST, "queue", &[&of.entry, "retry"], &[]),
        Some(QueueAction::Delete(of)) => args.admin.ask(Method::DELETE, "queue", &[&of.entry], &[]),
    }
}

impl Admin {
    /// Whether it answers well at this path, and in what words.
    async fn health(&self, path: &str) -> Result<(bool, String)> {
        let (client, url) = self.client()?;
        let hint = || self.hint();
        let request = client.timeout(HEALTH_TIMEOUT).build()?.get(url.join(path)?);
        let response = request.send().await.with_context(hint)?;
        let good = response.status().is_success();
        Ok((good, response.text().await.with_context(hint)?.trim().to_owned()))
    }

    /// What to connect with, and the URL that everything is below.
    fn client(&self) -> Result<(reqwest::ClientBuilder, reqwest::Url)> {
        let client = reqwest::Client::builder().no_proxy();
        if self.url.scheme() == "unix" {
            return Ok((client.unix_socket(self.url.path()), reqwest::Url::parse("http://localhost/")?));
        }
        Ok((client, self.url.clone()))
    }

    fn show(&self, call: &str, path: &[&str]) -> Result<Ended> {
        self.ask(Method::GET, call, path, &[])
    }

    /// Shows what a query finds; what is empty in it is left out.
    fn list(&self, call: &str, query: &[(&str, String)]) -> Result<Ended> {
        let query: Vec<_> = query.iter().filter(|(_, value)| !value.is_empty()).cloned().collect();
        self.ask(Method::GET, call, &[], &query)
    }

    fn ask(&self, method: Method, call: &str, path: &[&str], query: &[(&str, String)]) -> Result<Ended> {
        self.ask_and_show(method, call, path, query, |answer| show::describe(&without_capabilities(answer)))
    }

    fn ask_and_show(
        &self,
        method: Method,
        call: &str,
        path: &[&str],
        query: &[(&str, String)],
        in_words: impl FnOnce(Value) -> String,
    ) -> Result<Ended> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let Some(answer) = runtime.block_on(self.call(method, call, path, query))? else {
            bail!("there is no such thing, or it is too long ago");
        };
        if self.json {
            output::json(&answer)?;
        } else {
            output::text(&in_words(answer))?;
        }
        Ok(Ended::Well)
    }

    async fn call(&self, method: Method, call: &str, path: &[&str], query: &[(&str, String)]) -> Result<Option<Value>> {
        let (client, mut url) = self.client()?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1", call]).extend(path);
        }
        let mut request = client.build()?.request(method, url);
        if let Some(token) = self.token()? {
            request = request.bearer_auth(token);
        }
        let hint = || self.hint();
        let response = request.send().await.with_context(hint)?;
        match response.status() {
            StatusCode::OK => Ok(Some(response.json().await.context("not an answer of the admin API")?)),
            StatusCode::NOT_FOUND if !path.is_empty() => Ok(None),
            StatusCode::UNPROCESSABLE_ENTITY => {
                let refused: Value = response.json().await.context("not an answer of the admin API")?;
                bail!("refused, nothing has changed:\n{}", show::describe(&refused))
            }
            StatusCode::UNAUTHORIZED => bail!("{}", self.unauthorized(self.token()?.is_some())),
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::CONFLICT => {
                let problem: Value = response.json().await.context("not an answer of the admin API")?;
                let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default();
                bail!("{}", [text("field"), text("problem")].join(": ").trim_start_matches(": "))
            }
            status => bail!("{} answers {status}: is it the admin API? See {}", self.url, self.place()),
        }
    }

    /// What says where the admin API is.
    fn place(&self) -> &'static str {
        if self.configured { "admin.listen in the configuration file" } else { "--admin" }
    }

    fn hint(&self) -> String {
        format!("is a gateway running with its admin API at {}? See {}", self.url, self.place())
    }

    fn unauthorized(&self, gave_a_token: bool) -> &'static str {
        match (gave_a_token, self.configured) {
            (true, false) => "this is not the gateway's admin token",
            (false, false) => "the gateway wants its admin token: give --token-file, or set INTERLINGUA_ADMIN_TOKEN",
            (true, true) => {
                "what admin.token_file holds is not its token: restart the gateway if the file has changed since its start"
            }
            (false, true) => {
                "it wants a token, and the configuration file has no admin.token_file: give the file that it was started with"
            }
        }
    }

    fn token(&self) -> Result<Option<String>> {
        match &self.token_file {
            Some(path) => {
                let token = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                Ok(Some(token.trim().to_owned()))
            }
            None => Ok(std::env::var("INTERLINGUA_ADMIN_TOKEN").ok()),
        }
    }
}

/// The gateway that a configuration file belongs to, asked by its own admin API.
pub(crate) struct Asking {
    admin: Admin,
}

impl Asking {
    /// None where the file does not tell at which port it listens.
    pub(crate) fn of(admin: &config::Admin) -> Result<Option<Self>> {
        let url = match &admin.listen {
            AdminListen::Network(address) if address.port() == 0 => return Ok(None),
            AdminListen::Network(address) => {
                let loopback: IpAddr =
                    if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
                let ip = if address.ip().is_unspecified() { loopback } else { address.ip() };
                format!("http://{}/", SocketAddr::new(ip, address.port()))
            }
            AdminListen::Socket(path) => format!("unix:{}", path.display()),
        };
        let url = reqwest::Url::parse(&url).context("admin.listen cannot be asked")?;
        let token_file = admin.token_file.clone();
        Ok(Some(Self { admin: Admin { url, token_file, json: false, configured: true } }))
    }

    /// Whether the gateway of this name runs there; not if nobody listens, and an error if anything else is so: who looked
    /// by himself then would connect a second time beside a gateway that runs.
    pub(crate) async fn is_run_by(&self, name: &str) -> Result<bool> {
        let status = tokio::time::timeout(HEALTH_TIMEOUT, self.admin.call(Method::GET, "status", &[], &[])).await;
        let but = match status {
            Ok(Err(error)) if is_nobody(&error) => return Ok(false),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => format!("says nothing within {} s", HEALTH_TIMEOUT.as_secs()),
            Ok(Ok(status)) => match status.as_ref().and_then(|status| status.get("gateway")?.as_str()) {
                Some(found) if found == name => return Ok(true),
                Some(found) => format!("its name is {found}, not {name}"),
                None => "does not say its name".to_owned(),
            },
        };
        bail!("a gateway answers at {}, but {but}; with --apart this process looks by itself", self.admin.url)
    }

    /// Has it look at domains, divided by commas; at all if there are none.
    pub(crate) async fn examine(&self, domains: &str) -> Result<Value> {
        let query = [("domains", domains.to_owned())];
        let found = self.admin.call(Method::POST, "doctor", &["examine"], &query).await?;
        found.context("the gateway that runs is older than this program: restart it, or look with --apart")
    }
}

/// Whether it says that nobody listens: a refused connection, or no socket file.
fn is_nobody(error: &anyhow::Error) -> bool {
    let told = |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<io::Error>().map(io::Error::kind);
    let nobody = [io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound];
    error.chain().filter_map(told).any(|kind| nobody.contains(&kind))
}

/// What each adapter can carry is a long table that the reference has, too.
fn without_capabilities(mut answer: Value) -> Value {
    let adapters = answer.get_mut("adapters").and_then(Value::as_array_mut);
    for adapter in adapters.into_iter().flatten().filter_map(Value::as_object_mut) {
        adapter.shift_remove("capabilities");
    }
    answer
}

/// A file that is there: what names none is wrong usage.
pub(crate) fn readable(path: &str) -> Result<PathBuf, String> {
    match std::fs::File::open(path) {
        Ok(_) => Ok(path.into()),
        Err(error) => Err(error.to_string()),
    }
}
