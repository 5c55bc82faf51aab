//! What several tests share: the judges of results, the rows worth judging, the devices.
#![allow(dead_code)]

pub mod adjusted;
pub mod device;
pub mod double_double;
#[cfg(target_os = "linux")]
pub mod fault_layer;
pub mod judge;
pub mod loss;
pub mod question;
pub mod rows_of_interest;
pub mod stored;
