//! Integration tests, in one binary; the tree mirrors the parts of the program.
