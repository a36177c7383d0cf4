//! Which addresses may be reached (section 9 of the contract). Filled in next.
