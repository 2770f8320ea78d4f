use crate::support::Size;
pub fn run(_: &Size) {}
pub fn play_caller(_: &[String]) {}
