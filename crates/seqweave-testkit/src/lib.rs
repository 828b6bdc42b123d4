//! Tolerances, assert_close and golden readers for tests.
