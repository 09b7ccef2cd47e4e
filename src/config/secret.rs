//! Secrets, given as a value, `{env="NAME"}` or `{file="PATH"}`; never printed.

/// A secret text; `Debug` shows `[redacted]`.
#[derive(Clone)]
pub struct Secret(secrecy::SecretString);

impl Secret {
    pub fn new(text: String) -> Self {
        Self(text.into())
    }
    pub fn expose(&self) -> &str {
        secrecy::ExposeSecret::expose_secret(&self.0)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}
