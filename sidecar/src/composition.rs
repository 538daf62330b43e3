//! A Recommender that is made of others: its pods ask the serving pods of its parts, and make one
//! answer of theirs.
//!
//! ```text
//!  composition.json ─► follow: read ► start what asks new parts ► swap ─► engine: Serving
//!                                                                             │ Ask
//!  serving pods of a part ◄─ mesh ◄─ Part: question ► document ◄─ Composer ◄──┘
//!                                                                    └─ blend, cascade, switch, split (pure)
//! ```
//!
//! An answer uses one revision of each part, and so does a batch.

mod ask_parts;
pub mod blend;
mod cascade;
mod composer;
pub mod document;
mod follow;
mod merged;
mod part;
mod question;
mod select;

pub use self::{
    follow::{CompositionPaths, Followed, follow},
    part::PartsIdentity,
};
