//! Documents and files that the server shows about itself.
//!
//! * [`openapi`]: what the OpenAPI documents of all surfaces share. [`generators`]: the forms that generators of
//!   clients need. [`docs`]: Swagger UI.
//! * [`allow`]: the methods of each path, for the `Allow` header of a 405, read from those documents.
//! * [`assets`]: the embedded files of the dashboard, with ETags and compression.

pub mod allow;
pub mod assets;
pub mod docs;
pub mod generators;
pub mod openapi;
