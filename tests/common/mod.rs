//! What several tests share: the judge of results, the rows worth judging, the devices.
#![allow(dead_code)]

pub mod device;
pub mod double_double;
pub mod judge;
pub mod rows_of_interest;
