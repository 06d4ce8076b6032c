//! What the crate promises, from outside: gradients, serving, the model folder.

mod damage;
mod damaged;
mod folder;
mod gradients;
mod serving;
mod world;
