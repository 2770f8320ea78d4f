use crate::support::Size;
pub fn run(_: &Size) {}
