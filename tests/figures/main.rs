//! What things cost: memory, processor time, and how long until a change decides.
//!
//! Most of it is ignored, needs an optimized build (`make figures`) and runs one test at a time. What judges memory
//! measures a process of its own.

mod crl;
mod crl_serve;
mod directory;
mod flood;
mod index;
