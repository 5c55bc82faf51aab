//! Errors as JavaScript throws them: a sentence that the page shows.

use wasm_bindgen::JsError;

pub type Outcome<T> = Result<T, JsError>;

pub fn failure(message: impl AsRef<str>) -> JsError {
    JsError::new(message.as_ref())
}
