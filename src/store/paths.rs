//! The only maker of keys.
