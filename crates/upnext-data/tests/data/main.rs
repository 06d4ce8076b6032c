//! What `upnext-data` promises, tested through its public doors on generated histories.

mod atomic;
mod batches;
mod damage;
mod leakage;
mod mutation;
mod protocols;
mod windows;
mod world;
