//! What the crate promises, from outside: gradients, serving, and the model folder, sound and damaged.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed step of a test is a failed test")]

mod damage;
mod damaged;
mod extend;
mod folder;
mod gradients;
mod horizons;
mod misfits;
mod serving;
mod world;
