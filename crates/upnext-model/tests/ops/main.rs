//! The layer ops held together: fused against reference, reference against finite differences, any number of threads,
//! and serving against training.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]
#![expect(clippy::print_stdout, reason = "what is skipped is said")]

mod attention;
mod bf16;
mod embed;
mod mlp;
mod rows;
mod serving;
mod support;
mod threads;
