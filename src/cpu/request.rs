//! Requests with more to them than logits of the computing type: operands, temperatures, masks, 16-bit
//! elements, and losses.

use crate::cross_entropy::{ArrangedLoss, RowResults};
use crate::request::Arranged;
use crate::{Element, ElementsMut};

/// Computes a request into a result of the right length.
pub(crate) fn compute_request(_arranged: &Arranged<'_>, _result: ElementsMut<'_>) {
    unimplemented!()
}

/// What is wanted of each row of a loss, and its gradient.
pub(crate) fn compute_loss<R: Element>(_loss: &ArrangedLoss<'_>, _gradient: Option<&mut [R]>) -> RowResults<f64> {
    unimplemented!()
}
