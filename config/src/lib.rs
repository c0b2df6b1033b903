//! keepalived.conf: from text to a typed, valid model.
//!
//! `model` is what every process shares. The parser half (everything behind the feature `reader`) is used by the config
//! worker, keepalivectl and tests only: `load` reads a configuration through a `source::Source`, asks a
//! `names::Names` about the machine, and returns the model or every problem that keeps it from being one.

#[cfg(feature = "reader")]
pub mod diagnostic;
#[cfg(feature = "reader")]
mod diff;
#[cfg(feature = "reader")]
mod lexer;
#[cfg(feature = "reader")]
mod load;
pub mod model;
#[cfg(feature = "reader")]
pub mod names;
#[cfg(feature = "reader")]
pub mod numbers;
#[cfg(feature = "pattern")]
pub mod pattern;
#[cfg(feature = "reader")]
mod preprocess;
#[cfg(feature = "reader")]
mod print;
#[cfg(feature = "reader")]
pub mod privileges;
#[cfg(feature = "reader")]
mod resolve;
#[cfg(feature = "reader")]
mod schema;
#[cfg(feature = "reader")]
pub mod source;
#[cfg(feature = "reader")]
mod text;
#[cfg(feature = "reader")]
mod tree;

#[cfg(feature = "reader")]
pub use diff::{Change, Fate, Kind, diff};
#[cfg(feature = "reader")]
pub use load::{LoadOptions, Loaded, load};
#[cfg(feature = "reader")]
pub use preprocess::limit;
#[cfg(feature = "reader")]
pub use print::{print, print_json};
#[cfg(feature = "reader")]
pub use privileges::privileges;
#[cfg(feature = "reader")]
pub use schema::catalogue::{Keyword, KeywordUse, compatibility, compatibility_page, driven_by, keywords};
#[cfg(feature = "reader")]
pub use schema::mask;
