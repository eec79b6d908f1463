//! The `interlingua` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    interlingua::cli::main()
}
