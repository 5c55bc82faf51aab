//! What a path on the command line names: a `.npy` file, a tensor in a `.safetensors` file, or a standard
//! stream.

use std::path::{Path, PathBuf};

/// How a file of tensors ends.
const ENDING: &str = ".safetensors";

/// The key under which a `.safetensors` file keeps what is no tensor.
const NO_TENSOR: &str = "__metadata__";

/// An array's place outside of this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayFile {
    pub path: PathBuf,
    pub format: Format,
}

/// How arrays are stored, which a file's ending tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// NumPy's, also on the standard streams.
    Npy,
    /// That of machine-learning models, with the name of one tensor where it was given.
    Safetensors { tensor: Option<String> },
}

impl ArrayFile {
    /// The place that `path` names: all of it for `.npy`; with `:tensor` behind the ending for `.safetensors`.
    pub fn of(path: PathBuf) -> Result<ArrayFile, String> {
        let named = path.to_str().and_then(|text| text.split_once(&format!("{ENDING}:")));
        if let Some((before, tensor)) = named {
            if tensor.is_empty() || tensor == NO_TENSOR {
                return Err(format!(
                    "{tensor:?} is no tensor's name: give one behind the colon, or leave it out"
                ));
            }
            let format = Format::Safetensors { tensor: Some(tensor.into()) };
            return Ok(ArrayFile { path: format!("{before}{ENDING}").into(), format });
        }
        let is_safetensors = path.as_os_str().as_encoded_bytes().ends_with(ENDING.as_bytes());
        let format = if is_safetensors { Format::Safetensors { tensor: None } } else { Format::Npy };
        Ok(ArrayFile { path, format })
    }

    /// Whether `-` stands for it.
    pub fn is_stream(&self) -> bool {
        self.path == Path::new("-")
    }

    /// Whether it is a file of tensors.
    pub fn is_safetensors(&self) -> bool {
        matches!(self.format, Format::Safetensors { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Result<(String, Option<Option<String>>), String> {
        let file = ArrayFile::of(text.into())?;
        let tensor = match file.format {
            Format::Npy => None,
            Format::Safetensors { tensor } => Some(tensor),
        };
        Ok((file.path.to_str().unwrap().into(), tensor))
    }

    #[test]
    fn the_ending_tells_the_format() {
        for (text, path, tensor) in [
            ("a.npy", "a.npy", None),
            ("-", "-", None),
            ("a:b.npy", "a:b.npy", None),
            ("a.safetensors", "a.safetensors", Some(None)),
            ("a.safetensors:logits", "a.safetensors", Some(Some("logits"))),
            ("C:\\a.safetensors:x:y.z", "C:\\a.safetensors", Some(Some("x:y.z"))),
            ("a.safetensors:b.safetensors", "a.safetensors", Some(Some("b.safetensors"))),
        ] {
            let tensor = tensor.map(|tensor| tensor.map(str::to_string));
            assert_eq!(parts(text), Ok((path.to_string(), tensor)));
        }
        assert!(parts("a.safetensors:").is_err() && parts("a.safetensors:__metadata__").is_err());
    }
}
