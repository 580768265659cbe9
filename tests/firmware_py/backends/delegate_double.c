/* A TFLite delegate that takes no nodes: it tests loading and falling back, not acceleration.
 * The layout is that of TfLiteDelegate in tensorflow/lite/core/c/common.h; no header is needed.
 * Option "act": ok, fail (the device is absent), fail_at_length (and the library says pages about it),
 * fail_prepare (the graph is refused).
 * Option "device": a path; while nothing is there, the device is absent.
 * Option "hang": a path; while something is there, a graph that is prepared never comes back. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Delegate {
  void* data;
  int (*prepare)(void* context, struct Delegate* self);
  void *copy_from, *copy_to, *free_buffer;
  int64_t flags;
  void* opaque;
} Delegate;

static int accept(void* context, Delegate* self) {
  (void)context;
  while (self->data && !access(self->data, F_OK)) sleep(1);
  return 0;
}
static int refuse(void* context, Delegate* self) { (void)context; (void)self; return 1; }

Delegate* tflite_plugin_create_delegate(char** keys, char** values, size_t n, void (*report)(const char*)) {
  Delegate* made = calloc(1, sizeof(Delegate));
  made->prepare = accept;
  for (size_t i = 0; i < n; i++) {
    if (!strcmp(keys[i], "hang")) made->data = strdup(values[i]);
    int absent = !strcmp(keys[i], "device") && access(values[i], F_OK);
    if (absent || !strcmp(values[i], "fail")) { free(made); report("no device on the bus"); return NULL; }
    if (!strcmp(values[i], "fail_at_length")) {
      static char pages[4000];
      memset(pages, '!', sizeof(pages) - 1);
      free(made); report(pages); return NULL;
    }
    if (!strcmp(values[i], "fail_prepare")) made->prepare = refuse;
  }
  return made;
}

void tflite_plugin_destroy_delegate(Delegate* made) {
  if (made) free(made->data);
  free(made);
}
