//! What `upnext-data` promises, tested through its public doors on generated histories.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod atomic;
mod batches;
mod damage;
mod folders;
mod leakage;
mod mutation;
mod protocols;
mod tensors;
mod windows;
mod world;
