//! What the machine offers a run: its processor, its cores, its memory, and what of it lies idle.

use serde::Serialize;
use upnext_kernels::level::{self, Level};
use upnext_kernels::tiles::Tiles;
use upnext_model::ops::rows;

use crate::{device, memory};

/// Memory below which most runs end early.
const LITTLE: u64 = 1 << 30;

/// A machine as this process sees it. What the system does not say is `None`.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: Option<String>,
    /// The architecture that this build is for.
    pub architecture: &'static str,
    /// The operating system that this build is for.
    pub system: &'static str,
    /// Cores that this process may use.
    pub cores: usize,
    /// Threads that compute.
    pub threads: usize,
    /// The vector instructions in use.
    pub simd: String,
    /// The widest vector instructions that the processor has and this build knows.
    pub simd_widest: String,
    /// Whether training may multiply bf16 operands on the processor's matrix tiles; with a pinned level it does not.
    pub bf16_products: bool,
    /// Memory in all, bytes.
    pub memory_bytes: Option<u64>,
    /// Memory that is free, bytes.
    pub available_bytes: Option<u64>,
    /// Kinds of devices that this build can compute on.
    pub devices: Vec<&'static str>,
    /// Bytes of our kernels as compiled for an NVIDIA driver, or why they do not compile; in a build for CUDA.
    pub kernels: Option<Result<usize, String>>,
    /// Whether the system has a graphics processor's driver loaded.
    pub gpu: bool,
    /// Whether this build was optimised.
    pub optimised: bool,
}

/// Something that a machine or a build lacks or leaves idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Lack {
    /// The build was not optimised.
    Optimisation,
    /// The processor has no vector instructions that this build knows.
    Simd,
    /// Wider vector instructions are there than are in use.
    SimdPinned,
    /// Fewer threads compute than there are cores.
    Threads,
    /// Less than 1 GiB of memory is free.
    Memory,
    /// The system does not say how much memory is free.
    MemoryUnknown,
    /// A graphics processor is there, and this build cannot use it.
    Gpu,
}

impl Machine {
    /// Looks at the machine that we run on.
    #[must_use]
    pub fn here() -> Self {
        Self {
            cpu: std::fs::read_to_string("/proc/cpuinfo").ok().as_deref().and_then(cpu_name),
            architecture: std::env::consts::ARCH,
            system: std::env::consts::OS,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads: rayon::current_num_threads(),
            simd: level::current().to_string(),
            simd_widest: Level::detected().to_string(),
            bf16_products: Tiles::here().is_some(),
            memory_bytes: memory::total_bytes(),
            available_bytes: memory::available_bytes(),
            devices: ["cpu", "cuda", "metal"].into_iter().filter(|name| device::built_with(name)).collect(),
            kernels: rows::compiled().map(|bytes| bytes.map_err(|error| error.to_string())),
            gpu: std::path::Path::new("/proc/driver/nvidia/version").exists(),
            optimised: !cfg!(debug_assertions),
        }
    }

    /// What is missing or idle, worst first.
    #[must_use]
    pub fn lacks(&self) -> Vec<Lack> {
        let portable = Level::Portable.to_string();
        // Other architectures have their vector instructions in the baseline that the compiler targets.
        let chosen_at_run_time = self.architecture == "x86_64";
        let found = [
            (Lack::Optimisation, !self.optimised),
            (Lack::Simd, chosen_at_run_time && self.simd_widest == portable),
            (Lack::SimdPinned, self.simd != self.simd_widest),
            (Lack::Threads, self.threads < self.cores),
            (Lack::Memory, self.available_bytes.is_some_and(|bytes| bytes < LITTLE)),
            (Lack::MemoryUnknown, self.available_bytes.is_none()),
            (Lack::Gpu, self.gpu && !self.devices.contains(&"cuda")),
        ];
        found.into_iter().filter(|(_, there)| *there).map(|(lack, _)| lack).collect()
    }
}

/// The first processor's name in the text of `/proc/cpuinfo`.
fn cpu_name(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("model name"))?;
    let name = line.trim_start().strip_prefix(':')?.split_whitespace().collect::<Vec<_>>().join(" ");
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Machine {
        Machine {
            cpu: None,
            architecture: "x86_64",
            system: "linux",
            cores: 4,
            threads: 4,
            simd: "avx2".to_owned(),
            simd_widest: "avx2".to_owned(),
            bf16_products: false,
            memory_bytes: Some(16 << 30),
            available_bytes: Some(8 << 30),
            devices: vec!["cpu"],
            kernels: None,
            gpu: false,
            optimised: true,
        }
    }

    #[test]
    fn a_good_machine_lacks_nothing() {
        assert_eq!(good().lacks(), []);
    }

    #[test]
    fn what_is_idle_or_missing_is_named() {
        let check = |change: fn(&mut Machine), expected: &[Lack]| {
            let mut machine = good();
            change(&mut machine);
            assert_eq!(machine.lacks(), expected, "{machine:?}");
        };
        check(|machine| machine.optimised = false, &[Lack::Optimisation]);
        check(|machine| machine.threads = 3, &[Lack::Threads]);
        check(|machine| machine.simd = "portable".to_owned(), &[Lack::SimdPinned]);
        check(|machine| machine.available_bytes = Some(1 << 29), &[Lack::Memory]);
        check(|machine| machine.available_bytes = None, &[Lack::MemoryUnknown]);
        let portable = |machine: &mut Machine| {
            (machine.simd, machine.simd_widest) = ("portable".to_owned(), "portable".to_owned());
        };
        check(portable, &[Lack::Simd]);
        let mut machine = Machine { architecture: "aarch64", ..good() };
        portable(&mut machine);
        assert_eq!(machine.lacks(), []);
    }

    #[test]
    fn the_processor_is_known_by_its_first_name() {
        let text = "processor\t: 0\nmodel name\t: Acme  Fast(R) CPU\nflags\t: fma\nmodel name\t: Other\n";
        assert_eq!(cpu_name(text).as_deref(), Some("Acme Fast(R) CPU"));
        assert_eq!(cpu_name("processor\t: 0\n"), None);
    }
}
