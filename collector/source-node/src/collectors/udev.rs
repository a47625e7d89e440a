//! Properties that udev keeps of a block device.

use std::collections::HashMap;
use std::path::Path;

use crate::slow::attribute;

/// `E:KEY=value` lines of one device.
#[derive(Debug, Default)]
pub(crate) struct Properties {
    values: HashMap<String, String>,
}

impl Properties {
    /// The value of `key`, empty when it is not set.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.values.get(key).map_or("", String::as_str)
    }
}

/// Reads `b<major>:<minor>`; no properties where udev keeps none (a container, a machine without udev).
pub(crate) fn properties(udev_data: &Path, major: &str, minor: &str) -> Properties {
    let text = attribute(&udev_data.join(format!("b{major}:{minor}"))).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.strip_prefix("E:")?.split_once('='));
    Properties { values: pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect() }
}
