# frozen_string_literal: true

require 'json'
require 'logger'
require 'time'

module LambdaRuntime
  # What the function logs: the format and the level that the function is configured with.
  module Log
    TIME = '%Y-%m-%dT%H:%M:%S.%3NZ'

    class << self
      # The id of the invocation that runs, nil during initialization.
      attr_accessor :request_id

      # Lines are written when they are made, and loggers that write to the log tell the request.
      def set_up
        $stdout.sync = true
        $stderr.sync = true
        Logger.prepend(LoggerDefaults)
      end

      def json?
        ENV.fetch('AWS_LAMBDA_LOG_FORMAT', '').casecmp?('JSON')
      end

      # Tells of an error of the function as the caller hears of it.
      def error(message, failure)
        if json?
          puts JSON.generate({ timestamp: Time.now.utc.strftime(TIME), level: 'ERROR', message: message,
                               requestId: request_id, **failure.to_h }.compact)
        else
          puts message, JSON.pretty_generate(failure.to_h)
        end
      end
    end

    # A logger for standard output or standard error takes our formatter and level, unless it was given its own.
    module LoggerDefaults
      LEVELS = { 'TRACE' => 'DEBUG', 'DEBUG' => 'DEBUG', 'INFO' => 'INFO', 'WARN' => 'WARN', 'ERROR' => 'ERROR',
                 'FATAL' => 'FATAL' }.freeze

      def initialize(device = nil, *arguments, **options)
        if [$stdout, $stderr, STDOUT, STDERR].include?(device)
          options[:formatter] ||= Log.json? ? JsonFormatter.new : TextFormatter.new
          configured = LEVELS[ENV.fetch('AWS_LAMBDA_LOG_LEVEL', '').upcase]
          options[:level] ||= configured if configured && Log.json?
        end
        super
      end
    end

    # Ruby's own line with the request in it.
    class TextFormatter < Logger::Formatter
      def call(severity, time, program, message)
        "#{severity[0]}, [#{format_datetime(time)} ##{Process.pid}] #{severity.rjust(5)} #{Log.request_id} -- " \
          "#{program}: #{msg2str(message).scrub}\n"
      end
    end

    # One object a line, with the members that Lambda's runtimes write.
    class JsonFormatter < Logger::Formatter
      def call(severity, time, program, message)
        line = { timestamp: time.utc.strftime(TIME), level: severity, requestId: Log.request_id, logger: program,
                 **described(message) }
        "#{JSON.generate(line.compact)}\n"
      end

      private

      def described(message)
        return { message: msg2str(message).scrub } unless message.is_a?(Exception)

        { message: message.message.scrub, errorType: message.class.to_s, errorMessage: message.message.scrub,
          stackTrace: message.backtrace }
      end
    end
  end
end
