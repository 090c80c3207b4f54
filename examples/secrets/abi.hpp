#pragma once

// How the headers of this folder behave in programs that contain several copies of them, for example in a
// host and in its plugins. Functions are hidden, so each program and each library uses those of its own
// copy. Types that an application may have as members, or catch, are visible. All are in an inline
// namespace, whose name changes with the layout of a visible type.

#if defined(__GNUC__) && !defined(_WIN32)
#define SECRETS_HIDDEN __attribute__((visibility("hidden")))
#define SECRETS_VISIBLE __attribute__((visibility("default")))
#else
#define SECRETS_HIDDEN
#define SECRETS_VISIBLE
#endif
