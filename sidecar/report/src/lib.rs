//! A page for people about one run, made of its result and nothing else: the store holds no second document that could
//! disagree, and a run of last year gets the page of today. Pure: a result in, HTML out; no script, no outside resource.

mod page;
mod plot;
mod text;

pub use page::render;
