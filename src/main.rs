//! The binary: allocator, TLS provider, then [`entrepot::cli`].

#![forbid(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing else has installed one before the first line of main");
    entrepot::cli::run(std::env::args_os())
}
