//! Makes a single check faster: links the unwinder into the program instead of loading
//! `libgcc_s.so.1`, replaces a slow function of the C library (`packaging/native/stack.c`), and
//! places the functions that a check needs together (`packaging/native/order.ld`). libc stays
//! dynamic, so that preloaded hooks of load balancers work.
//!
//! `scripts/package` builds with another linker and another unwinder. Its object file in
//! `HALFOPEN_LINK` is linked into the program.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=HALFOPEN_LINK");
    if let Ok(object) = env::var("HALFOPEN_LINK") {
        println!("cargo::rustc-link-arg-bins={object}");
        println!("cargo::rerun-if-changed={object}");
    }
    let is = |name, value: &str| env::var(name).is_ok_and(|set| set == value);
    let native = env::var("TARGET") == env::var("HOST") && env::var_os("RUSTC_LINKER").is_none();
    if !(native && is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu")) {
        return;
    }
    link_unwinder();
    replace_slow_function();
    if is("PROFILE", "release") {
        order_functions();
    }
}

fn link_unwinder() {
    // If the C compiler has no such archive, it prints the bare name, and the shared library is
    // loaded.
    let Ok(output) = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output() else {
        return;
    };
    let archive = String::from_utf8_lossy(&output.stdout);
    if let Some(directory) = Path::new(archive.trim()).parent().filter(|d| d.is_absolute()) {
        println!("cargo::rustc-link-search=native={}", directory.display());
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// Does nothing if there is no C compiler that can do it.
fn replace_slow_function() {
    const SOURCE: &str = "packaging/native/stack.c";
    println!("cargo::rerun-if-changed={SOURCE}");
    let object = Path::new(&env::var("OUT_DIR").expect("set by cargo")).join("stack.o");
    let compiled = Command::new("cc").args(["-O2", "-c", SOURCE, "-o"]).arg(&object).output();
    if compiled.is_ok_and(|output| output.status.success()) {
        println!("cargo::rustc-link-arg-bins={}", object.display());
        println!("cargo::rustc-link-arg-bins=-Wl,--wrap=pthread_getattr_np");
    }
}

/// Does nothing if other flags may have chosen another linker, because not all understand such a
/// script.
fn order_functions() {
    const SCRIPT: &str = "packaging/native/order.ld";
    println!("cargo::rerun-if-changed={SCRIPT}");
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if !flags.contains("link") {
        let root = env::var("CARGO_MANIFEST_DIR").expect("set by cargo");
        println!("cargo::rustc-link-arg-bins=-T{root}/{SCRIPT}");
    }
}
