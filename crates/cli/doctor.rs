//! `upnext doctor`: what this machine and this build can do, and what is missing.

use std::process::ExitCode;

use anyhow::Result;
use indicatif::BinaryBytes;
use serde_json::json;
use upnext_tables::{Compression, Format};
use upnext_train::machine::{Lack, Machine};

use crate::args::DoctorArgs;
use crate::inspect::Facts;
use crate::say;

pub(crate) fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let machine = Machine::here();
    let lacks = machine.lacks();
    if args.json {
        let missing: Vec<_> = lacks
            .iter()
            .map(|lack| {
                let (what, remedy) = explain(*lack, &machine);
                json!({ "lack": lack, "what": what, "remedy": remedy })
            })
            .collect();
        let mut object = serde_json::to_value(&machine)?;
        object["version"] = json!(env!("CARGO_PKG_VERSION"));
        object["formats"] = json!(Format::NAMES);
        object["compressions"] = json!(COMPRESSIONS);
        object["missing"] = json!(missing);
        say::json(&object)?;
    } else {
        say::result(&report(&machine, &lacks))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What files may be compressed with.
const COMPRESSIONS: [Compression; 3] = [Compression::Gzip, Compression::Zstd, Compression::Xz];

fn report(machine: &Machine, lacks: &[Lack]) -> String {
    let mut facts = Facts::default();
    let build = if machine.optimised { "optimised" } else { "not optimised" };
    facts.add(
        "upnext",
        format!("{}, {build}, for {} {}", env!("CARGO_PKG_VERSION"), machine.system, machine.architecture),
    );
    facts.add("processor", machine.cpu.clone().unwrap_or_else(|| "of unknown name".to_owned()));
    facts.add("cores", format!("{}; {} threads compute", machine.cores, machine.threads));
    facts.add("SIMD", format!("{} in use, {} the widest here", machine.simd, machine.simd_widest));
    facts.add(
        "bf16",
        match machine.bf16_products {
            true => "products on the processor's tiles (AMX), for trainings with precision = \"bf16\"",
            false => {
                "no products: no AMX here, or not granted, or --kernels; precision = \"bf16\" trains in f32"
            }
        },
    );
    let bytes = |bytes: Option<u64>| {
        bytes.map_or_else(|| "unknown".to_owned(), |bytes| BinaryBytes(bytes).to_string())
    };
    facts
        .add("memory", format!("{} free of {}", bytes(machine.available_bytes), bytes(machine.memory_bytes)));
    facts.add("devices", machine.devices.join(", "));
    match &machine.kernels {
        Some(Ok(bytes)) => facts.add("CUDA", format!("our kernels compile, to {bytes} bytes")),
        Some(Err(reason)) => facts.add("CUDA", format!("our kernels do not compile: {reason}")),
        None => {}
    }
    let compressions = COMPRESSIONS.map(|compression| format!("{compression:?}").to_lowercase());
    facts.add("reads", format!("{}; plain or {}", Format::NAMES.join(", "), compressions.join(", ")));
    let mut text = facts.text();
    text.push('\n');
    if lacks.is_empty() {
        text.push_str("Nothing is missing.\n");
    }
    for lack in lacks {
        let (what, remedy) = explain(*lack, machine);
        text.push_str(&format!("- {what}: {remedy}.\n"));
    }
    text
}

/// What is missing, and how to get it.
fn explain(lack: Lack, machine: &Machine) -> (String, &'static str) {
    match lack {
        Lack::Optimisation => {
            ("this build is not optimised, and many times slower".to_owned(), "cargo build --release")
        }
        Lack::Simd => (
            "this processor has no AVX2, so that training and scoring take many times longer".to_owned(),
            "use an x86-64 processor from 2013 or later, or in a virtual machine pass its AVX2 and FMA through",
        ),
        Lack::SimdPinned => (
            format!("{} is in use although {} is there", machine.simd, machine.simd_widest),
            "leave --kernels out, unless a mixed fleet shall run the same code",
        ),
        Lack::Threads => (
            format!("{} of {} cores compute", machine.threads, machine.cores),
            "leave --threads and RAYON_NUM_THREADS out, or raise them",
        ),
        Lack::Memory => (
            "less than 1 GiB of memory is free".to_owned(),
            "end other programs or raise the container's limit; a run says beforehand what it needs",
        ),
        Lack::MemoryUnknown => (
            "the system does not say how much memory is free".to_owned(),
            "a run that does not fit is then not refused beforehand; watch it yourself",
        ),
        Lack::Gpu => (
            "an NVIDIA GPU is there, and this build computes on the CPU".to_owned(),
            "cargo build --release --features cuda, which needs NVIDIA's nvcc; all commands run without it too",
        ),
        _ => (format!("{lack:?}"), "see the documentation"),
    }
}
