//! Objects by name, from synchronous code: each call waits for its answer, and for no longer than its deadline.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt as _, RetryConfig};
use tokio::runtime::Runtime;

use crate::location::{Location, S3};
use crate::transport::HyperConnector;

/// A reader that waits longer than this for one object answers without it.
const READ_DEADLINE: Duration = Duration::from_secs(10);
/// An upload of one object; nobody waits for it.
const WRITE_DEADLINE: Duration = Duration::from_secs(120);
/// Tries of one request within its deadline.
const RETRIES: usize = 2;

/// The archive's address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// The folder cannot be made or read.
    #[error("use {location} as an archive: is it writable for this user?")]
    Folder {
        /// The folder.
        location: String,
        /// The system's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The settings of the store make no sense.
    #[error("use {location} as an archive")]
    Settings {
        /// The bucket.
        location: String,
        /// What is wrong with them.
        #[source]
        source: object_store::Error,
    },
    /// The thread that waits for the store cannot be started.
    #[error("start the thread that waits for {location}")]
    Thread {
        /// The archive.
        location: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
}

/// A request to the store that got no good answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It took too long.
    #[error("{action} {object} in {location}: no answer within {} s", deadline.as_secs())]
    Timeout {
        /// What was tried.
        action: &'static str,
        /// The object, or the prefix of several.
        object: String,
        /// The archive.
        location: String,
        /// How long it was waited for.
        deadline: Duration,
    },
    /// The store refused, or cannot be reached.
    #[error("{action} {object} in {location}")]
    Failed {
        /// What was tried.
        action: &'static str,
        /// The object, or the prefix of several.
        object: String,
        /// The archive.
        location: String,
        /// What the store says.
        #[source]
        source: Box<object_store::Error>,
    },
}

impl StoreError {
    /// Whether the store answered that there is no such object.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        let Self::Failed { source, .. } = self else { return false };
        matches!(**source, object_store::Error::NotFound { .. })
    }
}

/// Objects by name.
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    location: String,
    /// Taken when the store is dropped, which must not wait.
    io: Option<Runtime>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("location", &self.location).finish_non_exhaustive()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(io) = self.io.take() {
            io.shutdown_background();
        }
    }
}

impl Store {
    /// Makes ready to use the archive at this address; a folder is made if it is not there. Sends no request.
    ///
    /// # Errors
    /// [`OpenStoreError`].
    pub fn open(location: &Location) -> Result<Self, OpenStoreError> {
        let shown = location.to_string();
        let objects: Arc<dyn ObjectStore> = match location {
            Location::Folder(path) => {
                let fault = |source| OpenStoreError::Folder { location: shown.clone(), source };
                std::fs::create_dir_all(path).map_err(|error| fault(error.into()))?;
                Arc::new(
                    LocalFileSystem::new_with_prefix(path).map_err(|error| fault(error.into()))?,
                )
            }
            Location::S3(s3) => bucket(s3)
                .map_err(|source| OpenStoreError::Settings { location: shown.clone(), source })?,
        };
        Self::over(objects, shown)
    }

    /// A store over any implementation, named `location` in messages.
    ///
    /// # Errors
    /// [`OpenStoreError::Thread`].
    pub fn over(objects: Arc<dyn ObjectStore>, location: String) -> Result<Self, OpenStoreError> {
        let io = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("swell-archive-io")
            .enable_all()
            .build()
            .map_err(|source| OpenStoreError::Thread { location: location.clone(), source })?;
        Ok(Self { objects, location, io: Some(io) })
    }

    /// Where it is, for messages.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.location
    }

    fn wait<T, F>(
        &self,
        action: &'static str,
        object: &str,
        deadline: Duration,
        work: impl FnOnce(Arc<dyn ObjectStore>, Path) -> F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        let location = || self.location.clone();
        let failed = |source| StoreError::Failed {
            action,
            object: object.to_owned(),
            location: location(),
            source: Box::new(source),
        };
        let late = || StoreError::Timeout {
            action,
            object: object.to_owned(),
            location: location(),
            deadline,
        };
        let path = Path::parse(object).map_err(|error| failed(error.into()))?;
        let Some(io) = &self.io else { return Err(late()) };
        let work = work(Arc::clone(&self.objects), path);
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        io.spawn(async move {
            let answer = tokio::time::timeout(deadline, work).await;
            // Whoever asked waits for exactly this.
            drop(sender.send(answer));
        });
        match receiver.recv() {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(source))) => Err(failed(source)),
            // The task ends without an answer only when the runtime goes away.
            Ok(Err(_)) | Err(_) => Err(late()),
        }
    }

    pub(crate) fn put(&self, object: &str, content: Bytes) -> Result<(), StoreError> {
        self.wait("write", object, WRITE_DEADLINE, |objects, path| async move {
            objects.put(&path, content.into()).await.map(|_| ())
        })
    }

    pub(crate) fn get(&self, object: &str) -> Result<Bytes, StoreError> {
        self.wait("read", object, READ_DEADLINE, |objects, path| async move {
            objects.get(&path).await?.bytes().await
        })
    }

    /// The whole object, for one who may wait.
    pub(crate) fn get_patiently(&self, object: &str) -> Result<Bytes, StoreError> {
        self.wait("read", object, WRITE_DEADLINE, |objects, path| async move {
            objects.get(&path).await?.bytes().await
        })
    }

    pub(crate) fn get_range(&self, object: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.wait("read", object, READ_DEADLINE, |objects, path| async move {
            objects.get_range(&path, range).await
        })
    }

    pub(crate) fn delete(&self, object: &str) -> Result<(), StoreError> {
        self.wait("delete", object, WRITE_DEADLINE, |objects, path| async move {
            objects.delete(&path).await
        })
    }

    /// Names that start with this folder.
    pub(crate) fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        self.wait("list", folder, READ_DEADLINE, |objects, path| async move {
            let found: Vec<_> = objects.list(Some(&path)).try_collect().await?;
            Ok(found.into_iter().map(|object| object.location.to_string()).collect())
        })
    }
}

fn bucket(s3: &S3) -> object_store::Result<Arc<dyn ObjectStore>> {
    let retry = RetryConfig {
        max_retries: RETRIES,
        retry_timeout: READ_DEADLINE,
        ..RetryConfig::default()
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&s3.bucket)
        .with_http_connector(HyperConnector)
        .with_retry(retry);
    if let Some(region) = &s3.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &s3.endpoint {
        builder = builder
            .with_endpoint(endpoint)
            .with_allow_http(endpoint.starts_with("http://"))
            .with_virtual_hosted_style_request(false);
    }
    if let Some(credentials) = &s3.credentials {
        builder = builder
            .with_access_key_id(&credentials.access_key_id)
            .with_secret_access_key(&credentials.secret_access_key);
        if let Some(token) = &credentials.session_token {
            builder = builder.with_token(token);
        }
    }
    let objects = builder.build()?;
    Ok(if s3.prefix.is_empty() {
        Arc::new(objects)
    } else {
        Arc::new(PrefixStore::new(objects, s3.prefix.as_str()))
    })
}
