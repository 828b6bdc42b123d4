//! A tape of variables with one gradient rule per tensor operation.
