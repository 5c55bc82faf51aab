#![allow(dead_code)]
pub mod device;
