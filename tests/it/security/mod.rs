//! What a hostile client, a hostile receiver or a hostile network tries. Rules are tested where they are
//! (the guard in `domain::network`, roles in `admin::access`, scopes in `v1::credentials`); here is what
//! attacks look like from outside, against the whole server. docs/reliability.md lists them.

mod corpus;
mod document;
mod guard;
mod input;
mod namespace;
mod others;
mod supply;
