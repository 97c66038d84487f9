//! xfcc
