//! `interlingua store`: looks after the data directory of a gateway that is not running.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use impp_model::Address;
use serde_json::json;
use store::{DataDir, FjallStore, Opened, Options, SteadyClock, Store};

use crate::archive;
use crate::cli::Ended;
use crate::config;
use crate::output;
use crate::progress::Progress;
use crate::stored::{self, Place};

/// Look after the data directory of a gateway that is not running
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Look at every record for damage and loss, and change none
    Check(CheckArgs),
    /// Write every record as a line of JSON
    Export(ExportArgs),
    /// Put the records of an export with content into a new data directory
    Import(ImportArgs),
    /// Remove a person: messages from and to the address that wait, and every record that names it, the archive's spool included
    Forget(ForgetArgs),
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    /// Where to write; omitted: standard output
    #[arg(long, value_name = "FILE", required_if_eq("json", "true"))]
    output: Option<PathBuf>,
    /// With addresses and content, unencrypted, so that it can be imported
    #[arg(long)]
    content: bool,
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, clap::Args)]
struct ImportArgs {
    /// The export; - is standard input
    file: PathBuf,
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, clap::Args)]
struct ForgetArgs {
    /// Whom, as romeo@sip.example
    address: String,
    #[command(flatten)]
    of: Of,
}

/// Which data directory.
#[derive(Debug, clap::Args)]
struct Of {
    /// The configuration file that names the directory and its key
    #[arg(long, value_name = "FILE", required_unless_present = "data_dir", conflicts_with = "data_dir")]
    config: Option<PathBuf>,
    /// The directory itself
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The file with its key
    #[arg(long, value_name = "FILE", requires = "data_dir")]
    data_key_file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Ended> {
    match &args.action {
        Action::Check(args) => check(args),
        Action::Export(args) => export(args),
        Action::Import(args) => import(args),
        Action::Forget(args) => forget(args),
    }
}

fn check(args: &CheckArgs) -> Result<Ended> {
    let place = args.of.existing()?;
    let options = place.options()?;
    let data_dir = place.lock()?;
    let checked = {
        let _progress = counting("records", options.looked.clone());
        FjallStore::check(&data_dir, &options).map_err(|error| place.explain(error))?
    };
    let (opened, unreadable) = (&checked.opened, checked.unreadable);
    let sound = opened.is_sound() && unreadable == 0;
    let found = json!({
        "ok": sound,
        "format": store::FORMAT,
        "encrypted": options.key.is_some(),
        "records": opened.records,
        "gaps": opened.gaps.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "damaged": opened.damaged_count,
        "put_aside": opened.put_aside,
        "not_understood": unreadable,
        "migrated_from": opened.migrated_from,
    });
    let verdict = if sound { "sound" } else { "not sound: see deploy/docs/operating.md, \"Looking after the store\"" };
    args.of.print(&found, &format!("{}: {verdict}\n{}", place.path.display(), crate::show::describe(&found)))?;
    Ok(Ended::well_if(sound))
}

fn export(args: &ExportArgs) -> Result<Ended> {
    let place = args.of.existing()?;
    let (store, opened) = place.open()?;
    tell_damage(&opened);
    let written = Arc::new(AtomicU64::new(0));
    let progress = counting("records", written.clone());
    let records = match &args.output {
        Some(path) => {
            let make = || File::options().write(true).create_new(true).mode(0o600).open(path);
            let file = make().with_context(|| format!("cannot make {}", path.display()))?;
            let mut out = Counted { inner: BufWriter::new(file), count: written };
            let records = store::export(&store, args.content, &mut out)?;
            let file = out.inner.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all().context("cannot force the export to disk")?;
            records
        }
        None => {
            let mut out = Counted { inner: BufWriter::new(io::stdout().lock()), count: written };
            let records = store::export(&store, args.content, &mut out)?;
            out.flush().context("cannot write to standard output")?;
            records
        }
    };
    drop(progress);
    let text = format!("{records} records, {} content", if args.content { "with" } else { "without" });
    match &args.output {
        Some(path) => args.of.print(&json!({ "records": records, "content": args.content, "file": path }), &text)?,
        None => output::diagnose(&text),
    }
    Ok(Ended::well_if(opened.is_sound()))
}

fn import(args: &ImportArgs) -> Result<Ended> {
    let place = args.of.place()?;
    let input: Box<dyn Read> = if args.file.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?)
    };
    let (store, _) = place.open()?;
    let read = Arc::new(AtomicU64::new(0));
    let progress = counting("records", read.clone());
    let mut lines = Counted { inner: BufReader::new(input), count: read };
    let records =
        store::import(&store, &mut lines).context("nothing more was imported; start again with a new data_dir")?;
    store.close();
    drop(progress);
    args.of.print(&json!({ "records": records }), &format!("{records} records"))?;
    Ok(Ended::Well)
}

fn forget(args: &ForgetArgs) -> Result<Ended> {
    let address: Address = args.address.parse().with_context(|| format!("{:?} is no address", args.address))?;
    let place = args.of.existing()?;
    let (store, opened) = place.open()?;
    tell_damage(&opened);
    let store: Arc<dyn Store> = Arc::new(store);
    let forgotten = store::forget(&store, &address, SteadyClock::start().now())?;
    stored::flush(&*store);
    // Closes it: nobody else holds it.
    drop(store);
    let locked = place.lock()?;
    FjallStore::rewrite(&locked).map_err(|error| place.explain(error))?;
    let spooled = archive::forget(&place.path, place.options()?.key.as_ref(), &address);
    let spooled = spooled.with_context(|| format!("cannot rewrite {}", archive::spool_in(&place.path).display()))?;
    drop(locked);
    let (messages, records) = (forgotten.messages, forgotten.records + spooled);
    let text =
        format!("{messages} messages ended undelivered, {records} other records removed; the store was written anew");
    args.of.print(&json!({ "messages": messages, "records": records }), &text)?;
    Ok(Ended::Well)
}

fn tell_damage(opened: &Opened) {
    opened.gaps.iter().for_each(|gap| output::diagnose(&format!("loss: {gap}")));
    if opened.damaged_count > 0 {
        output::diagnose(&format!("{} damaged records were put aside", opened.damaged_count));
    }
}

impl Of {
    fn place(&self) -> Result<Place> {
        if let Some(path) = &self.data_dir {
            return Ok(Place { path: path.clone(), key_file: self.data_key_file.clone() });
        }
        let Some(config) = &self.config else { bail!("give --config or --data-dir") };
        let checked = config::load(config).inspect_err(|report| output::diagnose(&report.text()))?;
        Place::of(&checked.config.gateway)
            .with_context(|| format!("{}: gateway.data_dir is missing: nothing is stored", config.display()))
    }

    /// The same, if there is a store.
    fn existing(&self) -> Result<Place> {
        let place = self.place()?;
        if !place.path.join("store").is_dir() && !place.path.join("store.next").is_dir() {
            bail!("{}: there is no store", place.path.display());
        }
        Ok(place)
    }

    fn print(&self, json: &serde_json::Value, text: &str) -> Result<()> {
        if self.json { output::json(json) } else { output::text(text) }
    }
}

impl Place {
    fn lock(&self) -> Result<DataDir> {
        DataDir::open(&self.path).map_err(|error| self.explain(error.into()))
    }

    /// Opens the store, showing how far the look at its records has come.
    fn open(&self) -> Result<(FjallStore, Opened)> {
        // A command frees room: it needs none in reserve.
        let options = Options { disk_reserve: 0, ..self.options()? };
        let data_dir = self.lock()?;
        let _progress = counting("records looked at", options.looked.clone());
        FjallStore::open(data_dir, &options).map_err(|error| self.explain(error))
    }
}

/// Shows a count while something takes long.
fn counting(what: &'static str, count: Arc<AtomicU64>) -> Progress {
    Progress::start(move || format!("{} {what}", count.load(Ordering::Relaxed)))
}

/// A reader or writer that counts lines.
struct Counted<T> {
    inner: T,
    count: Arc<AtomicU64>,
}

impl<T: Write> Write for Counted<T> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(octets)?;
        let lines = octets.iter().take(written).filter(|octet| **octet == b'\n').count();
        self.count.fetch_add(lines as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: BufRead> Read for Counted<T> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        self.inner.read(octets)
    }
}

impl<T: BufRead> BufRead for Counted<T> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
    }

    fn read_line(&mut self, text: &mut String) -> io::Result<usize> {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.inner.read_line(text)
    }
}
