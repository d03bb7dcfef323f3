//! Modules of the kernel.

use std::process::Command;

/// Loads modules that the kernel does not load by itself.
pub(crate) fn load(modules: &[&str]) {
    for module in modules {
        let loaded = Command::new("modprobe").arg(module).output().expect("modprobe, of kmod");
        assert!(
            loaded.status.success(),
            "the kernel has no {module}: run scripts/kernels ({})",
            String::from_utf8_lossy(&loaded.stderr)
        );
    }
}
