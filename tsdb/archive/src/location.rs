//! Where an archive is: a folder, or a bucket of an S3-compatible store.

use std::path::PathBuf;

use url::Url;

/// Where an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A bucket and what stands in front of every name in it.
    S3(S3),
}

/// A bucket of an S3-compatible store.
#[derive(Clone, PartialEq, Eq)]
pub struct S3 {
    /// The bucket.
    pub bucket: String,
    /// In front of every name, without a slash at either end; may be empty.
    pub prefix: String,
    /// Region, such as `eu-central-1`.
    pub region: Option<String>,
    /// Address of a store other than Amazon's, such as `http://127.0.0.1:9000`.
    pub endpoint: Option<String>,
    /// Name and secret of an access key, and a session's token; without them the machine's role is asked for.
    pub credentials: Option<Credentials>,
}

/// An access key.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Its name.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// Of a temporary key.
    pub session_token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(<secret>)")
    }
}

impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// A text that is no archive's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no archive: {why}; give file:///FOLDER or s3://BUCKET/PREFIX")]
pub struct LocationError {
    text: String,
    why: &'static str,
}

impl Location {
    /// Reads `file:///FOLDER` or `s3://BUCKET/PREFIX`; region, endpoint and credentials are for the caller to set.
    ///
    /// # Errors
    /// [`LocationError`] names the text and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        let fault = |why| LocationError { text: text.to_owned(), why };
        let url = Url::parse(text).map_err(|_| fault("it is no URL"))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(fault("it has a part behind ? or #"));
        }
        match url.scheme() {
            "file" => {
                url.to_file_path().map(Self::Folder).map_err(|()| fault("the path is not absolute"))
            }
            "s3" => {
                let bucket = url.host_str().filter(|host| !host.is_empty());
                Ok(Self::S3(S3 {
                    bucket: bucket.ok_or_else(|| fault("the bucket is missing"))?.to_owned(),
                    prefix: url.path().trim_matches('/').to_owned(),
                    region: None,
                    endpoint: None,
                    credentials: None,
                }))
            }
            _ => Err(fault("it starts with neither file:// nor s3://")),
        }
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::S3(s3) if s3.prefix.is_empty() => write!(f, "s3://{}", s3.bucket),
            Self::S3(s3) => write!(f, "s3://{}/{}", s3.bucket, s3.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_folders_or_buckets() {
        assert_eq!(
            Location::parse("file:///var/lib/a%20b"),
            Ok(Location::Folder("/var/lib/a b".into()))
        );
        let Ok(Location::S3(s3)) = Location::parse("s3://metrics/eu/one/") else { panic!("S3") };
        assert_eq!((s3.bucket.as_str(), s3.prefix.as_str()), ("metrics", "eu/one"));
        for text in ["/var/lib", "file://relative", "s3:///x", "http://x/y", "s3://b/p?x=1", ""] {
            let refused = Location::parse(text).expect_err(text).to_string();
            assert!(refused.contains("s3://BUCKET/PREFIX"), "{refused}");
        }
    }
}
