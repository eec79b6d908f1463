//! Compiles the schema without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let schema = protox::compile(["interlingua/adapter/v1/adapter.proto"], ["proto"])?;
    tonic_prost_build::configure().bytes(".").compile_fds(schema)?;
    Ok(())
}
