//! `interlingua config`

use anyhow::Result;
use clap::Subcommand;

use crate::cli::Ended;
use crate::{config, output};

/// Print the reference of the configuration, or its JSON schema
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Every key with its meaning and default, as a configuration file
    Reference,
    /// The JSON schema, for editors
    Schema,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Ended> {
    match args.what {
        What::Reference => output::text(&config::reference())?,
        What::Schema => output::text(&serde_json::to_string_pretty(&config::schema())?)?,
    }
    Ok(Ended::Well)
}
