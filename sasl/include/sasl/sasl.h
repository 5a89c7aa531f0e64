/* The part of the interface of Cyrus SASL 2 that librdkafka uses. The functions are in src/interface.rs. */
#ifndef SASL_H
#define SASL_H 1

#define SASL_CONTINUE 1
#define SASL_OK 0
#define SASL_FAIL -1
#define SASL_INTERACT 2

#define SASL_CB_LIST_END 0
#define SASL_CB_GETOPT 1
#define SASL_CB_LOG 2
#define SASL_CB_USER 0x4001
#define SASL_CB_AUTHNAME 0x4002
#define SASL_CB_PASS 0x4004
#define SASL_CB_ECHOPROMPT 0x4005
#define SASL_CB_CANON_USER 0x8007
#define SASL_CB_GETREALM 0x4008

#define SASL_USERNAME 0
#define SASL_MECHNAME 15
#define SASL_AUTHSOURCE 14

typedef struct sasl_conn sasl_conn_t;

typedef struct {
  unsigned long len;
  unsigned char data[1];
} sasl_secret_t;

typedef struct {
  unsigned long id;
  int (*proc)(void);
  void *context;
} sasl_callback_t;

typedef struct {
  unsigned long id;
  const char *challenge;
  const char *prompt;
  const char *defresult;
  const void *result;
  unsigned len;
} sasl_interact_t;

int sasl_client_init(const sasl_callback_t *callbacks);
int sasl_client_new(const char *service, const char *host, const char *local, const char *remote,
                    const sasl_callback_t *callbacks, unsigned flags, sasl_conn_t **connection);
int sasl_client_start(sasl_conn_t *connection, const char *mechanisms, sasl_interact_t **questions,
                      const char **output, unsigned *length, const char **mechanism);
int sasl_client_step(sasl_conn_t *connection, const char *input, unsigned input_length,
                     sasl_interact_t **questions, const char **output, unsigned *length);
void sasl_dispose(sasl_conn_t **connection);
const char *sasl_errdetail(sasl_conn_t *connection);
const char *sasl_errstring(int code, const char *languages, const char **language);
int sasl_getprop(sasl_conn_t *connection, int property, const void **value);
int sasl_listmech(sasl_conn_t *connection, const char *user, const char *prefix, const char *separator,
                  const char *suffix, const char **result, unsigned *length, int *count);

#endif
