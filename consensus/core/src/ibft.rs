//! ibft
