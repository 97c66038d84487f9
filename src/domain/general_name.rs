//! general_name
