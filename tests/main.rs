//! One integration binary: from files to lists through the command line, and the walls between the rooms.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod batch;
mod cli;
mod cold_start;
mod compare;
mod determinism;
mod devices;
mod encode;
mod front_door;
mod horizons;
mod index;
mod inspect;
mod nights;
mod pipeline;
mod rooms;
mod support;
