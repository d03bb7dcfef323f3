//! `scripts/package` builds with another linker and another unwinder. Its object file in
//! `HALFOPEN_LINK` is linked into the program.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=HALFOPEN_LINK");
    if let Ok(object) = env::var("HALFOPEN_LINK") {
        println!("cargo::rustc-link-arg-bins={object}");
        println!("cargo::rerun-if-changed={object}");
    }
}
