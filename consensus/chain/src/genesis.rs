//! Genesis files.
