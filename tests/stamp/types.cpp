// Prints the number in the stamp that stands for the sizes and alignments of all types that modules share.

#include <extensible/detail/stamp.hpp>

#include <cstdio>

int main() { std::printf("%uu", ext::detail::hash_layouts(ext::detail::shared_types())); }
