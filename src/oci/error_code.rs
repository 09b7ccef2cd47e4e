//! The error codes of the specification (distribution-spec, "Error Codes", code-1 … code-14) and `UNAVAILABLE` for 5xx.

/// One code of the error body `{"errors":[{code, message, detail}]}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    Unauthorized,
    Denied,
    Unsupported,
    TooManyRequests,
    /// Ours, for every 5xx.
    Unavailable,
}

impl ErrorCode {
    /// The code on the wire, such as `BLOB_UNKNOWN`.
    pub fn as_str(self) -> &'static str {
        todo!()
    }
}
