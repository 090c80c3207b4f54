// Like header_before.cpp, but <windows.h> is included after the library.
#include <extensible/extensible.hpp>
#include <extensible/hooks.hpp>
#include <extensible/library.hpp>

#include <windows.h>

void use_both_too(SRWLOCK& lock) {
    AcquireSRWLockExclusive(&lock), FlushProcessWriteBuffers(), ReleaseSRWLockExclusive(&lock);
}
