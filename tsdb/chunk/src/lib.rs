//! How a column becomes bytes: timestamps, decimal floats, raw floats, native histograms; estimate, encode, decode.
