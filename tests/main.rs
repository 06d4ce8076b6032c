//! One integration binary: from files to lists through the command line, and the walls between the rooms.

mod cli;
mod determinism;
mod pipeline;
mod rooms;
mod support;
