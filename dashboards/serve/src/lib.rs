//! Embeds the built web app and serves what its pages need.
